/** Texts as the command line names them. */

import { BOOK, loadText, type TextData, textOf } from '../src/data/text.js';
import { printable } from '../src/errors.js';
import { noteName } from './data.js';
import { inputName, readBytes } from './files.js';
import { shown } from './output.js';

/**
 * Loads the text that `--text` or `--data` names: the book, a file, or what comes through a pipe.
 * @throws {InputError} when it cannot be read, or is too short or too long
 */
export function readText(name: string): Promise<TextData> {
  if (name === BOOK) noteName(name);
  return shown(`reading ${printable(name)}`, 'bytes', async (watch) =>
    name === BOOK ? loadText(name, watch) : textOf(inputName(name), await readBytes(name), watch),
  );
}
