import { SaxesParser } from 'saxes';
import { messageOf, StoreError } from '../../base/errors.ts';
import { objectLimits } from '../object-limits.ts';

/** An element of an answer: its name without a prefix, its own text, and what is in it. */
export interface XmlElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/**
 * Servers echo what they were asked for, and some write control characters there as references,
 * which only XML 1.1 permits. Keys themselves come percent-encoded.
 */
const lenientAboutControls = {
  xmlns: false,
  position: false,
  defaultXMLVersion: '1.1',
  forceXMLVersion: true,
} as const;

/** Characters that no version of XML permits as they are; in an echo nobody looks at them. */
const forbidden = /[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]/g;

/**
 * The document's root. `what` names the answer in messages.
 *
 * @throws StoreError `UNAVAILABLE` for anything that is not well-formed XML, or has too many
 *   elements: a server that answers so is not one that can be used.
 */
export function parseXml(bytes: Uint8Array, what: string): XmlElement {
  const parser = new SaxesParser(lenientAboutControls);
  const path: OpenElement[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  // A parser that goes on after an error would give half of a document.
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('doctype', () => {
    throw new Error('a document type is not expected');
  });
  parser.on('opentag', ({ name }) => {
    elements += 1;
    if (elements > objectLimits.s3XmlElementsMax) {
      throw new Error(`more than ${objectLimits.s3XmlElementsMax} elements`);
    }
    path.push({ name: name.slice(name.indexOf(':') + 1), text: '', children: [] });
  });
  const addText = (text: string): void => {
    const element = path.at(-1);
    if (element !== undefined) element.text += text;
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('closetag', () => {
    const element = path.pop();
    if (element === undefined) return;
    const parent = path.at(-1);
    if (parent === undefined) root = element;
    else parent.children.push(element);
  });
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    parser.write(text.replace(forbidden, '\ufffd')).close();
  } catch (error) {
    throw new StoreError('UNAVAILABLE', `${what}: the answer is no XML: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (root !== undefined) return root;
  throw new StoreError('UNAVAILABLE', `${what}: the answer is empty`);
}

/** The text of the element's first child of that name. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** The text as it may stand in an element. */
export function xmlText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
