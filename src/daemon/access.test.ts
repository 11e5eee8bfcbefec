import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseNamespace } from '../blocks/namespace.ts';
import { parseTokenFile } from '../config/token-file.ts';
import { Access } from './access.ts';
import type { Need } from './access.ts';

const needs: readonly Need[] = ['read', 'presence', 'write', 'delete', 'admin'];

/** What the token may do with the namespace. */
function rights(access: Access, token: string, name: string): readonly Need[] {
  const { grant } = access.present(token);
  const namespace = parseNamespace(name);
  return needs.filter((need) => grant.refusal(need, namespace) === undefined);
}

describe('access by tokens', () => {
  const access = new Access(
    parseTokenFile(
      [
        'reader verbs=read namespaces=a',
        'writer verbs=write namespaces=a,b',
        'cleaner verbs=delete namespaces=*',
        'watcher verbs=admin',
        'root',
      ].join('\n'),
    ),
  );

  it('permits the verbs of a token in its namespaces, and nothing else', () => {
    assert.deepEqual(rights(access, 'reader', 'a'), ['read', 'presence']);
    assert.deepEqual(rights(access, 'writer', 'a'), ['presence', 'write']);
    assert.deepEqual(rights(access, 'writer', 'b'), ['presence', 'write']);
    assert.deepEqual(rights(access, 'cleaner', 'anything'), ['delete']);
    assert.deepEqual(rights(access, 'watcher', 'a'), ['admin']);
    assert.deepEqual(rights(access, 'root', 'a'), needs);
    for (const name of ['b', 'A', 'a ', 'aa', '.', 'á']) {
      assert.deepEqual(rights(access, 'reader', name), [], name);
    }
  });

  it('lets nobody in whose token is not one of them', () => {
    for (const token of ['', 'Reader', 'reader ', 'reade', 'readerr', 'verbs=read']) {
      assert.throws(() => access.present(token).grant, { code: 'INVALID', message: /token/ });
    }
  });

  it('permits everything where no token is asked for', () => {
    assert.deepEqual(rights(new Access(), '', 'a'), needs);
  });

  it('follows new rules on connections that stand', () => {
    const changing = new Access(parseTokenFile('one verbs=read namespaces=a'));
    const credential = changing.present('one');
    assert.equal(credential.grant.refusal('read', parseNamespace('a')), undefined);
    changing.replace(parseTokenFile('one verbs=read namespaces=b'));
    assert.match(credential.grant.refusal('read', parseNamespace('a')) ?? '', /namespace "a"/);
    changing.replace(parseTokenFile('two'));
    assert.throws(() => credential.grant, { code: 'INVALID' });
  });
});
