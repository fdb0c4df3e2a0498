// Pushes an image to a registry with the distribution protocol's five calls: blobs first, each only
// where it is missing, the manifest last.
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { blobStream, type Blob, type Image } from './image-archive.ts';

export interface PushOptions {
  /** HOST[:PORT]/PATH/NAME:TAG */
  readonly reference: string;
  /** docker's config.json, for its `auths`; no file means nobody. */
  readonly credentialsFile?: string;
  readonly signal?: AbortSignal;
}

export class PushError extends Error {
  readonly code = 'PushFailed';
}

const CALL_TIMEOUT_MS = 600_000;

interface Registry {
  readonly base: string;
  readonly repository: string;
  readonly tag: string;
  /** Value of the Authorization header. */
  authorization: string | undefined;
  readonly basic: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export async function pushImage(image: Image, options: PushOptions): Promise<void> {
  const match = /^([^/]+)\/(.+):([\w][\w.-]{0,127})$/.exec(options.reference);
  if (match === null) throw new PushError(`"${options.reference}" isn't HOST/PATH/NAME:TAG`);
  const [, host = '', repository = '', tag = ''] = match;
  const local = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host);
  const basic = basicCredentials(options.credentialsFile, host);
  const registry: Registry = {
    base: `${local ? 'http' : 'https'}://${host}/v2/`,
    repository,
    tag,
    authorization: basic,
    basic,
    signal: options.signal,
  };
  for (const blob of new Map([...image.layers, image.config].map((one) => [one.digest, one])).values())
    await pushBlob(registry, blob);
  const manifest = 'bytes' in image.manifest.content ? image.manifest.content.bytes : readFileSync(image.manifest.content.file);
  await call(registry, 'PUT', `${repository}/manifests/${tag}`, [201], () => ({
    body: manifest as Uint8Array<ArrayBuffer>,
    headers: { 'content-type': image.manifest.mediaType },
  }));
}

async function pushBlob(registry: Registry, blob: Blob): Promise<void> {
  const { repository } = registry;
  const head = await call(registry, 'HEAD', `${repository}/blobs/${blob.digest}`, [200, 404]);
  if (head.status === 200) return;
  const started = await call(registry, 'POST', `${repository}/blobs/uploads/`, [202]);
  const location = started.headers.get('location');
  if (location === null) throw new PushError(`${registry.base} gave no upload location`);
  const upload = new URL(location, registry.base);
  upload.searchParams.set('digest', blob.digest);
  await call(registry, 'PUT', upload.href, [201], () => ({
    body: Readable.toWeb(blobStream(blob)) as ReadableStream<Uint8Array>,
    duplex: 'half',
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
  }));
}

/** One call; a 401 is answered once, with the token or the credentials that it asks for. */
async function call(
  registry: Registry,
  method: string,
  path: string,
  wanted: readonly number[],
  body: () => RequestInit = () => ({}),
): Promise<Response> {
  const url = new URL(path, registry.base);
  for (let attempt = 0; ; attempt += 1) {
    const init = body();
    const headers = new Headers(init.headers);
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
    const remedy =
      response.status === 401 || response.status === 403 ? ' (log in with `docker login`, or check that you may push there)' : '';
    throw new PushError(`${method} ${url.href} answered ${response.status}${remedy}: ${text}`);
  }
}

async function authorize(registry: Registry, challenge: string): Promise<boolean> {
  if (!/^bearer /i.test(challenge)) return false;
  const fields = Object.fromEntries([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]));
  if (fields.realm === undefined) return false;
  const url = new URL(fields.realm);
  if (fields.service !== undefined) url.searchParams.set('service', fields.service);
  url.searchParams.set('scope', `repository:${registry.repository}:pull,push`);
  const response = await fetch(url, {
    headers: registry.basic === undefined ? {} : { authorization: registry.basic },
    signal: AbortSignal.timeout(30_000),
  });
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
