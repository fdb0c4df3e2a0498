// Pushes an image archive to a registry with the distribution protocol's five calls: blobs first, each
// only where it is missing, the manifest last.
import { createReadStream, readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { tarMembers, type TarMember } from './read-tar.ts';

export interface PushOptions {
  /** An OCI archive with one image. */
  readonly archive: string;
  /** HOST[:PORT]/PATH/NAME:TAG; HTTPS, or HTTP to this machine. */
  readonly reference: string;
  /** docker's config.json, for its `auths`; no file means nobody. */
  readonly credentialsFile?: string;
  readonly signal?: AbortSignal;
}

class PushError extends Error {
  readonly code = 'PushFailed';
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface Registry {
  readonly base: string;
  readonly repository: string;
  /** Value of the Authorization header. */
  authorization: string | undefined;
  readonly basic: string | undefined;
  readonly signal: AbortSignal | undefined;
}

const CALL_TIMEOUT_MS = 600_000;

export async function pushImage(options: PushOptions): Promise<void> {
  const match = /^([^/]+)\/(.+):([\w][\w.-]{0,127})$/.exec(options.reference);
  if (match === null) throw new PushError(`"${options.reference}" isn't HOST/PATH/NAME:TAG`);
  const [, host = '', repository = '', tag = ''] = match;
  const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
  const basic = basicCredentials(options.credentialsFile, host);
  const base = `${local ? 'http' : 'https'}://${host}/v2/`;
  const registry: Registry = { base, repository, authorization: basic, basic, signal: options.signal };

  const members = await tarMembers(options.archive);
  const open = (path: string) => memberStream(options.archive, members.get(path), path);
  const json = async (path: string) => JSON.parse((await buffer(open(path))).toString('utf8')) as Record<string, unknown>;
  const [manifest, ...more] = (await json('index.json'))['manifests'] as Descriptor[];
  if (manifest === undefined || more.length > 0)
    throw new PushError(`${options.archive} holds ${more.length + 1} images; one is wanted`);
  const { config, layers } = (await json(blobPath(manifest))) as { config: Descriptor; layers: Descriptor[] };
  for (const blob of new Map([...layers, config].map((one) => [one.digest, one])).values()) {
    await pushBlob(registry, blob, () => open(blobPath(blob)));
  }
  const body = await buffer(open(blobPath(manifest)));
  await call(registry, 'PUT', `${repository}/manifests/${tag}`, [201], () => ({
    body,
    headers: { 'content-type': manifest.mediaType },
  }));
}

function blobPath({ digest }: Descriptor): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function memberStream(archive: string, member: TarMember | undefined, path: string): Readable {
  if (member === undefined) throw new PushError(`${archive} isn't an OCI image archive: it has no ${path}`);
  return createReadStream(archive, { start: member.offset, end: member.offset + member.sizeBytes - 1 });
}

async function pushBlob(registry: Registry, blob: Descriptor, open: () => Readable): Promise<void> {
  const { repository } = registry;
  const head = await call(registry, 'HEAD', `${repository}/blobs/${blob.digest}`, [200, 404]);
  if (head.status === 200) return;
  const started = await call(registry, 'POST', `${repository}/blobs/uploads/`, [202]);
  const location = started.headers.get('location');
  if (location === null) throw new PushError(`${registry.base} gave no upload location`);
  const upload = new URL(location, registry.base);
  upload.searchParams.set('digest', blob.digest);
  await call(registry, 'PUT', upload.href, [201], () => ({
    body: Readable.toWeb(open()) as ReadableStream<Uint8Array>,
    duplex: 'half',
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.size) },
  }));
}

/** One call; a 401 is answered once, with the token that it asks for. */
async function call(
  registry: Registry,
  method: string,
  path: string,
  wanted: readonly number[],
  request: () => RequestInit = () => ({}),
): Promise<Response> {
  const url = new URL(path, registry.base);
  for (let attempt = 0; ; attempt += 1) {
    const init = request();
    const headers = new Headers(init.headers);
    // Uploads may be sent to another host, which is no reader of ours.
    if (registry.authorization !== undefined && url.href.startsWith(registry.base))
      headers.set('authorization', registry.authorization);
    const timeout = AbortSignal.timeout(CALL_TIMEOUT_MS);
    const signal = registry.signal === undefined ? timeout : AbortSignal.any([timeout, registry.signal]);
    const response = await fetch(url, { ...init, method, headers, signal });
    if (wanted.includes(response.status)) {
      await response.body?.cancel();
      return response;
    }
    const text = (await response.text()).slice(0, 500);
    if (response.status === 401 && attempt === 0 && (await authorize(registry, response.headers.get('www-authenticate') ?? '')))
      continue;
    const refused = response.status === 401 || response.status === 403;
    const remedy = refused ? ' (log in with `docker login`, or check that you may push there)' : '';
    throw new PushError(`${method} ${url.href} answered ${response.status}${remedy}: ${text}`);
  }
}

async function authorize(registry: Registry, challenge: string): Promise<boolean> {
  if (!/^bearer /i.test(challenge)) return false;
  const fields = Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]));
  if (fields['realm'] === undefined) return false;
  const url = new URL(fields['realm']);
  if (fields['service'] !== undefined) url.searchParams.set('service', fields['service']);
  url.searchParams.set('scope', `repository:${registry.repository}:pull,push`);
  const headers = registry.basic === undefined ? {} : { authorization: registry.basic };
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(30_000) });
  const answer = (await response.json().catch(() => ({}))) as { token?: string; access_token?: string };
  const token = answer.token ?? answer.access_token;
  if (!response.ok || token === undefined) return false;
  registry.authorization = `Bearer ${token}`;
  return true;
}

function basicCredentials(file: string | undefined, host: string): string | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // nobody has logged in on this machine
  }
  const config = JSON.parse(text) as { auths?: Record<string, { auth?: string }> };
  const auth = config.auths?.[host]?.auth ?? config.auths?.[`https://${host}`]?.auth;
  return auth === undefined ? undefined : `Basic ${auth}`;
}
