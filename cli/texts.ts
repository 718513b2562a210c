/** Texts as the command line names them. */

import { BOOK, loadText, type TextData, textOf } from '../src/data/text.js';
import { inputName, readBytes } from './files.js';

/**
 * Loads the text that `--text` or `--data` names: the book, a file, or what comes through a pipe.
 * @throws {InputError} when it cannot be read, or is too short or too long
 */
export async function readText(name: string): Promise<TextData> {
  return name === BOOK ? loadText(name) : textOf(inputName(name), await readBytes(name));
}
