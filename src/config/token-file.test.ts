import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import { parseTokenFile } from './token-file.ts';

describe('a file of tokens', () => {
  it('has a token a line, and what it may do', () => {
    const text = [
      '# tenants',
      '',
      'alpha-secret name=alpha verbs=read,write namespaces=team-a,team%2Fb',
      '\tbeta-secret  verbs=*   namespaces=%2A\r',
      'scrape-secret name=prometheus verbs=admin',
      'root-secret',
    ].join('\n');
    const entries = parseTokenFile(text).map(({ token, name, verbs, namespaces }) => ({
      ...{ token, name, verbs: [...verbs] },
      namespaces: namespaces === 'all' ? namespaces : [...namespaces],
    }));
    const all = ['read', 'write', 'delete', 'admin'];
    assert.deepEqual(entries, [
      {
        ...{ token: 'alpha-secret', name: 'alpha', verbs: ['read', 'write'] },
        namespaces: ['team-a', 'team/b'],
      },
      { token: 'beta-secret', name: 'line-4', verbs: all, namespaces: ['*'] },
      { token: 'scrape-secret', name: 'prometheus', verbs: ['admin'], namespaces: [] },
      { token: 'root-secret', name: 'line-6', verbs: all, namespaces: 'all' },
    ]);
  });

  it('is refused by line and with what is accepted, and none of its words are shown', () => {
    const secret = 'S3CRET';
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['', /no token/],
      ['# nothing', /no token/],
      [`${secret}é`, /line 1: the first word.*ASCII/],
      [`\n${secret} two`, /line 2: word 2.*name=…, verbs=… and namespaces=…/],
      [`${secret} verbs=read ${secret}`, /line 1: word 3/],
      [`${secret} verb=read`, /line 1: word 2/],
      [`${secret} verbs=`, /line 1: word 2/],
      [`${secret} verbs=read verbs=write namespaces=a`, /line 1: word 3.*each once/],
      [`${secret} verbs=READ namespaces=a`, /line 1: verbs takes read, write, delete and admin/],
      [`${secret} verbs=read,${secret} namespaces=a`, /line 1: verbs takes/],
      [`${secret} verbs=read`, /line 1: verbs without namespaces/],
      [`${secret} namespaces=a`, /line 1: namespaces without verbs/],
      [`${secret} verbs=read namespaces=a,,b`, /line 1: namespaces takes names/],
      [`${secret} verbs=read namespaces=team-*`, /line 1: namespaces takes names/],
      [`${secret} verbs=read namespaces=%ff`, /line 1: namespaces takes names/],
      [`${secret} verbs=read namespaces=a/b`, /line 1: namespaces takes names/],
      [`${secret} name=a/b`, /line 1: name takes/],
      [`${secret}\nother\n${secret}`, /line 3: the token of line 1 again/],
      [`${secret} name=a\nother name=a`, /line 2: the name of line 1 again/],
      ['x'.repeat(limits.tokenLengthMax + 1), /line 1: the first word/],
    ];
    for (const [text, message] of wrong) {
      assert.throws(
        () => parseTokenFile(text),
        (error: unknown) => {
          assert.ok(error instanceof RangeError, text);
          assert.match(error.message, message);
          assert.ok(!error.message.includes(secret), error.message);
          return true;
        },
      );
    }
  });

  it('holds no more tokens than the limit', () => {
    const tokens = Array.from({ length: limits.tokensMax + 1 }, (_, at) => `token-${at}`);
    assert.equal(parseTokenFile(tokens.slice(1).join('\n')).length, limits.tokensMax);
    assert.throws(() => parseTokenFile(tokens.join('\n')), /more than 1024 tokens/);
  });
});
