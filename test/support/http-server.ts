/** A local HTTP server of one file that counts what it sends, and that can be told to behave badly. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a request is answered: the bytes of the file, what was asked, and where the answer goes. */
export type Behaviour = (answer: {
  readonly file: Uint8Array;
  /** First and last byte that were asked for, clipped to the file; null without a Range. */
  readonly range: readonly [first: number, last: number] | null;
  /** Counted from 1. */
  readonly request: number;
  readonly response: ServerResponse;
}) => void;

export interface FileServer {
  readonly url: string;
  /** Bytes of all bodies, and requests. */
  sent: number;
  requests: number;
  close(): Promise<void>;
}

/** As RFC 9110 has it. */
export const honest: Behaviour = ({ file, range, response }) => {
  if (!range) {
    response.writeHead(200, { 'content-length': file.length }).end(file);
    return;
  }
  const [first, last] = range;
  if (first >= file.length) {
    response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end();
    return;
  }
  const headers = { 'content-range': `bytes ${first}-${last}/${file.length}`, etag: '"1"' };
  response.writeHead(206, headers).end(file.subarray(first, last + 1));
};

/** Sends everything always. */
export const withoutRanges: Behaviour = ({ file, response }) => {
  response.writeHead(200, { 'content-length': file.length }).end(file);
};

/** Serves a file. */
export async function serve(file: Uint8Array, behave: Behaviour = honest): Promise<FileServer> {
  const counted = { sent: 0, requests: 0 };
  const server = createServer((request: IncomingMessage, response) => {
    counted.requests += 1;
    const { end } = response;
    response.end = ((body?: Uint8Array) => {
      counted.sent += body?.length ?? 0;
      return body ? end.call(response, body, 'utf8') : end.call(response, undefined, 'utf8');
    }) as typeof response.end;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const range =
      from === undefined ? null : ([Number(from), Math.min(Number(to), file.length - 1)] as const);
    behave({ file, range, request: counted.requests, response });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/a.tern`,
    get sent() {
      return counted.sent;
    },
    get requests() {
      return counted.requests;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
