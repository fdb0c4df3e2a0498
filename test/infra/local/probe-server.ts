// Runs in pods of the local cluster's tests and tells over HTTP what it sees from there.
import { appendFileSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { createServer } from 'node:http';
import { Socket } from 'node:net';

const DATA = '/data';
const CONNECT_TIMEOUT_MS = 1_500;

/** "open", or the code of the error: ENETUNREACH, ECONNREFUSED, TIMEOUT. */
function connect(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const end = (word: string) => {
      socket.destroy();
      resolve(word);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => end('TIMEOUT'));
    socket.once('error', (error) => end((error as NodeJS.ErrnoException).code ?? 'ERROR'));
    socket.connect(port, host, () => end('open'));
  });
}

function fill(): string {
  const block = Buffer.alloc(1 << 20, 1);
  try {
    for (let written = 0; written < 4096; written += 1) appendFileSync(`${DATA}/fill`, block);
    return 'no limit';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'ERROR';
  } finally {
    rmSync(`${DATA}/fill`, { force: true });
  }
}

async function answer(url: URL): Promise<unknown> {
  const value = (name: string) => url.searchParams.get(name) ?? '';
  switch (url.pathname) {
    case '/connect':
      return await connect(value('host'), Number(value('port')));
    case '/dns':
      return await lookup(value('name'), { all: true }).then(
        (found) => found.map(({ address }) => address),
        (error: NodeJS.ErrnoException) => error.code,
      );
    case '/disk': {
      const { blocks, bsize } = statfsSync(DATA);
      return { sizeBytes: blocks * bsize, starts: readFileSync(`${DATA}/starts`, 'utf8').length };
    }
    case '/fill':
      return fill();
    case '/root':
      try {
        writeFileSync('/somewhere', '');
        return 'writable';
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    default:
      return { host: process.env['HOSTNAME'], uid: process.getuid?.() };
  }
}

appendFileSync(`${DATA}/starts`, '.');
const server = createServer((request, response) => {
  void answer(new URL(request.url ?? '', 'http://pod')).then((value) => response.end(JSON.stringify(value)));
});
server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
