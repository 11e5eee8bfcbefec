import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { testHttp } from '../../test/conformance/http-suite.ts';
import { HttpScene, httpRequest } from '../../test/support/http-scene.ts';
import { S3Server } from '../../test/support/s3-server/s3-server.ts';
import { nodeHttp } from './node-http.ts';

testHttp('nodeHttp', nodeHttp);

const scene = new HttpScene(nodeHttp);
afterEach(() => scene.close());

describe('nodeHttp with a proxy', () => {
  it('tunnels through it and tells it the password of its URL', async () => {
    const server = await S3Server.start();
    scene.own(server);
    let asked = '';
    const proxy = await scene.serverThat((socket, text) => {
      asked = text;
      const isTunnel = text.includes('\r\n\r\nGET / ');
      socket.write(
        isTunnel
          ? 'HTTP/1.1 418 Through\r\ncontent-length: 0\r\n\r\n'
          : 'HTTP/1.1 200 Connection established\r\n\r\n',
      );
    });
    const withPassword = proxy.replace('//', '//me:secret@');
    const client = scene.open(server.endpoint, { proxy: withPassword });
    assert.equal((await client.send(httpRequest())).status, 418);
    assert.match(asked, new RegExp(`^CONNECT 127\\.0\\.0\\.1:${server.port} HTTP`));
    assert.match(asked, /proxy-authorization: Basic bWU6c2VjcmV0/i);
  });
});
