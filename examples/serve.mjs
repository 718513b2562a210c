// A static server for pages that import the browser build: `npm run example [port]`. Its headers make pages
// cross-origin isolated, without which browsers let no threads share memory.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

/** Serves the files of some folders, the first that has one; `headers` go with every answer. */
export async function serve(folders, port = 0, headers = ISOLATION) {
  const answer = async ({ url }, response) => {
    const { pathname } = new URL(`http://localhost${url}`); // resolves every `..`: no path leaves its folder
    const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname;
    for (const folder of folders) {
      const bytes = await readFile(join(folder, path)).catch(() => null);
      if (bytes === null) continue;
      response.writeHead(200, {
        'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
        ...headers,
      });
      return response.end(bytes);
    }
    response.writeHead(404, headers).end('not found');
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => server.close(resolve).closeAllConnections());
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const { url } = await serve([join(root, 'examples/browser'), root], Number(process.argv[2] ?? 8080));
  console.log(url);
}
