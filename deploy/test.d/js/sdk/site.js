// Serves the page with the SDKs: the bundle, the wasm SDK's workers beside it and its assets, all from one root.

import { createServer } from 'node:http';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const WASM_SDK = join(HERE, '../node_modules/@openim/wasm-client-sdk');
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** Starts the site: `{url, close()}`. */
export async function startSite() {
  const out = await mkdtemp(join(tmpdir(), 'ringwire-page-'));
  // An ES module: the wasm SDK reads import.meta.url.
  await build({
    entryPoints: [join(HERE, 'page/page.js')],
    bundle: true,
    format: 'esm',
    outfile: join(out, 'page.js'),
    logLevel: 'error',
  });
  const folders = [join(HERE, 'page'), join(WASM_SDK, 'lib'), join(WASM_SDK, 'assets')];
  const find = async (name) => {
    if (name === 'page.js') return readFile(join(out, name));
    for (const folder of folders) {
      try {
        return await readFile(join(folder, name));
      } catch {
        // Try the next folder.
      }
    }
    return undefined;
  };
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://site').pathname.slice(1) || 'index.html';
    const content = /^[\w.-]+$/.test(name) ? await find(name) : undefined;
    if (!content) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' });
    response.end(content);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await rm(out, { recursive: true, force: true });
    },
  };
}
