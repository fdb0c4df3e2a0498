import { createServer } from 'node:http';
import { appendFileSync, readFileSync, statfsSync } from 'node:fs';
import { lookup, resolve4 } from 'node:dns/promises';
const data = process.env.DATA ?? '/data';
appendFileSync(`${data}/starts`, `${new Date().toISOString()}\n`);
const server = createServer(async (req, res) => {
  try {
    const url = new URL(req.url, 'http://x');
    if (url.pathname === '/healthz') return res.end('ok');
    if (url.pathname === '/dns') return res.end(JSON.stringify(await lookup(url.searchParams.get('name'), { all: true })));
    if (url.pathname === '/srv') return res.end(JSON.stringify(await resolve4(url.searchParams.get('name'))));
    if (url.pathname === '/get')
      return res.end(await (await fetch(url.searchParams.get('url'), { signal: AbortSignal.timeout(3000) })).text());
    const fs = statfsSync(data);
    res.end(
      JSON.stringify({
        host: process.env.HOSTNAME,
        uid: process.getuid(),
        starts: readFileSync(`${data}/starts`, 'utf8').trim().split('\n').length,
        size: fs.blocks * fs.bsize,
        node: process.version,
      }) + '\n',
    );
  } catch (error) {
    res.statusCode = 500;
    res.end(String(error) + (error.cause ? ` (${error.cause})` : ''));
  }
});
server.listen(8080, () => console.log('listening'));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
