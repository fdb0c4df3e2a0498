// XML out by hand (strings only, fast enough for pages of 1,000 keys), in by fast-xml-parser without
// entities, attributes or type guessing.
import { XMLParser } from 'fast-xml-parser';
import { S3Error } from './errors.ts';

const HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n';
const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

// Anything that would change on its way through an XML parser: markup, control characters (also \r, \t and
// \n, which attribute and line-end rules touch), and what XML can't hold at all.
const SPECIAL = /[&<>"'\p{Cc}\ufffe\uffff]/gu;
const NAMED: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

export const escapeXml = (text: string): string =>
  text.replace(SPECIAL, (character) => NAMED[character] ?? `&#${character.charCodeAt(0)};`);

/** Children as they are given: strings are XML already. */
export const element = (name: string, ...children: string[]): string => `<${name}>${children.join('')}</${name}>`;
/** A leaf; undefined and null leave it out. */
export const leaf = (name: string, value: string | number | boolean | null | undefined): string =>
  value === undefined || value === null ? '' : `<${name}>${escapeXml(String(value))}</${name}>`;

export const document = (name: string, ...children: string[]): string =>
  `${HEADER}<${name} xmlns="${NAMESPACE}">${children.join('')}</${name}>`;
/** Errors carry no namespace. */
export const errorDocument = (...children: string[]): string => `${HEADER}${element('Error', ...children)}`;

export const isoTime = (ms: number): string => new Date(ms).toISOString();

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  removeNSPrefix: true,
  processEntities: true,
  htmlEntities: true,
  ignoreDeclaration: true,
  isArray: (name) => name === 'Object' || name === 'Part',
});

export type XmlNode = string | XmlNode[] | { [name: string]: XmlNode };

/** The root's children; throws MalformedXML for anything else than a document with that root. */
export function parseXml(text: string, root: string): { [name: string]: XmlNode } {
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) throw new S3Error('MalformedXML', 'A document type is not allowed here');
  let parsed: { [name: string]: XmlNode };
  try {
    parsed = parser.parse(text, true) as { [name: string]: XmlNode };
  } catch (cause) {
    throw new S3Error('MalformedXML', undefined, { cause });
  }
  const node = parsed[root];
  if (node === undefined) throw new S3Error('MalformedXML', `The document must be a ${root}`);
  return typeof node === 'object' && !Array.isArray(node) ? node : {};
}

export function childText(node: XmlNode | undefined, name: string): string | null {
  if (typeof node !== 'object' || Array.isArray(node)) return null;
  const child = node[name];
  return typeof child === 'string' ? child : null;
}

export function childList(node: XmlNode | undefined, name: string): XmlNode[] {
  if (typeof node !== 'object' || Array.isArray(node)) return [];
  const child = node[name];
  return Array.isArray(child) ? child : child === undefined ? [] : [child];
}
