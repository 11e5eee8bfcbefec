import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

/** Credentials that a place gives. */
export interface GivenCredentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** Where programs of AWS look for credentials. */
export type CredentialPlace =
  'profile' | 'process' | 'web-identity' | 'sso' | 'container' | 'machine';

const webToken = 'a web identity token';
const ssoToken = 'an access token of single sign-on';
const ssoUrl = 'https://wombat.awsapps.example/start';
const containerToken = 'Bearer of the container';
const machineToken = 'a token of the metadata service';
const role = 'arn:aws:iam::123456789012:role/wombat';

/**
 * The places in which a machine keeps credentials for AWS, on this machine: files below a home directory, a program that
 * tells some, and one server that is the security token service, the portal of single sign-on, the credentials endpoint of a
 * container, and the metadata service of a virtual machine. Each gives what it is told to give, to who asks as that place
 * wants to be asked, and nothing to others.
 */
export class CredentialPlaces {
  /** What the next question is answered with; undefined: the place is out of order. */
  given: GivenCredentials | undefined;
  /** Places of the server that were asked, and the program, by their last question. */
  readonly asked: CredentialPlace[] = [];
  readonly #home: string;
  readonly #server: Server;

  private constructor(home: string) {
    this.#home = home;
    this.#server = createServer((request, response) => {
      this.#answer(request).then(
        ({ status, body }) => response.writeHead(status).end(body),
        () => response.destroy(),
      );
    });
  }

  static async start(home: string): Promise<CredentialPlaces> {
    const places = new CredentialPlaces(home);
    await mkdir(join(home, '.aws', 'sso', 'cache'), { recursive: true });
    places.#server.listen(0, '127.0.0.1');
    await once(places.#server, 'listening');
    return places;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Sets one place up, and gives the variables by which it is found; no other is found by them. */
  async setUp(place: CredentialPlace): Promise<Readonly<Record<string, string>>> {
    const { port } = this.#server.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    const common = {
      HOME: this.#home,
      AWS_REGION: 'us-east-1',
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
      ...(place === 'machine' ? {} : { AWS_EC2_METADATA_DISABLED: 'true' }),
    };
    switch (place) {
      case 'profile':
        return { ...common, AWS_PROFILE: 'wombat', ...(await this.#credentialsFile()) };
      case 'process':
        return { ...common, AWS_PROFILE: 'wombat', ...(await this.#processFile(endpoint)) };
      case 'web-identity':
        return {
          ...common,
          AWS_ENDPOINT_URL_STS: endpoint,
          AWS_ROLE_ARN: role,
          AWS_ROLE_SESSION_NAME: 'wombat',
          AWS_WEB_IDENTITY_TOKEN_FILE: await this.#file('web-token', webToken),
        };
      case 'sso':
        return { ...common, AWS_ENDPOINT_URL_SSO: endpoint, ...(await this.#ssoFiles()) };
      case 'container':
        return {
          ...common,
          AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint}/container`,
          AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: await this.#file(
            'container-token',
            containerToken,
          ),
        };
      case 'machine':
        return { ...common, AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint };
      default:
        return place satisfies never;
    }
  }

  async #file(name: string, text: string): Promise<string> {
    const path = join(this.#home, name);
    await writeFile(path, text);
    return path;
  }

  /** The file tells what is given as it is written. */
  async #credentialsFile(): Promise<Readonly<Record<string, string>>> {
    const { accessKey = '', secretKey = '', sessionToken = '' } = this.given ?? {};
    const keys = `aws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}`;
    const text = `[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n[wombat]\n${keys}\naws_session_token = ${sessionToken}\n`;
    return { AWS_SHARED_CREDENTIALS_FILE: await this.#file('credentials', text) };
  }

  /** A program that asks the server here what to tell. */
  async #processFile(endpoint: string): Promise<Readonly<Record<string, string>>> {
    const script =
      `fetch('${endpoint}/process').then(async (answer) => ` +
      'process.stdout.write(await answer.text()));\n';
    const program = await this.#file('tell.mjs', script);
    await chmod(program, 0o700);
    const text = `[profile wombat]\ncredential_process = ${process.execPath} ${program}\n`;
    return { AWS_CONFIG_FILE: await this.#file('config', text) };
  }

  async #ssoFiles(): Promise<Readonly<Record<string, string>>> {
    const name = createHash('sha1').update(ssoUrl).digest('hex');
    const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
    const token = { startUrl: ssoUrl, region: 'us-east-1', accessToken: ssoToken, expiresAt };
    await this.#file(join('.aws', 'sso', 'cache', `${name}.json`), JSON.stringify(token));
    const text =
      `[profile wombat]\nsso_start_url = ${ssoUrl}\nsso_region = us-east-1\n` +
      'sso_account_id = 123456789012\nsso_role_name = wombat\n';
    return { AWS_PROFILE: 'wombat', AWS_CONFIG_FILE: await this.#file('config', text) };
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: string }> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://here');
    const body = await textOf(request);
    const refused = { status: 403, body: 'no' };
    const isTo = (method: string, path: string): boolean =>
      request.method === method && pathname === path;
    if (isTo('GET', '/process')) return this.#give('process', processText);
    if (isTo('GET', '/container')) {
      return request.headers.authorization === containerToken
        ? this.#give('container', containerText)
        : refused;
    }
    if (isTo('GET', '/federation/credentials')) {
      return isOfSignOn(request, searchParams) ? this.#give('sso', ssoText) : refused;
    }
    if (isTo('POST', '/')) {
      return isOfWebIdentity(body) ? this.#give('web-identity', stsText) : refused;
    }
    return this.#answerOfMachine(request, pathname);
  }

  #answerOfMachine(request: IncomingMessage, path: string): { status: number; body: string } {
    const base = '/latest/meta-data/iam/security-credentials/';
    if (path === '/latest/api/token' && request.method === 'PUT') {
      return { status: 200, body: machineToken };
    }
    if (request.headers['x-aws-ec2-metadata-token'] !== machineToken) {
      return { status: 401, body: '' };
    }
    if (path === base) return { status: 200, body: 'wombat' };
    if (path === `${base}wombat`) return this.#give('machine', containerText);
    return { status: 404, body: '' };
  }

  #give(
    place: CredentialPlace,
    textFor: (given: GivenCredentials) => string,
  ): { status: number; body: string } {
    this.asked.push(place);
    // Not 500, which whoever asks would ask again for a while.
    if (this.given === undefined) return { status: 403, body: 'out of order' };
    return { status: 200, body: textFor(this.given) };
  }
}

function isOfSignOn(request: IncomingMessage, query: URLSearchParams): boolean {
  return (
    request.headers['x-amz-sso_bearer_token'] === ssoToken &&
    query.get('role_name') === 'wombat' &&
    query.get('account_id') === '123456789012'
  );
}

function isOfWebIdentity(body: string): boolean {
  const form = new URLSearchParams(body);
  return (
    form.get('Action') === 'AssumeRoleWithWebIdentity' &&
    form.get('RoleArn') === role &&
    form.get('WebIdentityToken') === webToken
  );
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

function timeOf({ expiresMs }: GivenCredentials): string {
  return new Date(expiresMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

function processText(given: GivenCredentials): string {
  return JSON.stringify({
    Version: 1,
    AccessKeyId: given.accessKey,
    SecretAccessKey: given.secretKey,
    SessionToken: given.sessionToken,
    Expiration: timeOf(given),
  });
}

function containerText(given: GivenCredentials): string {
  return JSON.stringify({
    Code: 'Success',
    Type: 'AWS-HMAC',
    AccessKeyId: given.accessKey,
    SecretAccessKey: given.secretKey,
    Token: given.sessionToken,
    Expiration: timeOf(given),
  });
}

function ssoText(given: GivenCredentials): string {
  return JSON.stringify({
    roleCredentials: {
      accessKeyId: given.accessKey,
      secretAccessKey: given.secretKey,
      sessionToken: given.sessionToken,
      expiration: given.expiresMs,
    },
  });
}

function stsText(given: GivenCredentials): string {
  return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>${given.accessKey}</AccessKeyId><SecretAccessKey>${given.secretKey}</SecretAccessKey>
<SessionToken>${given.sessionToken}</SessionToken><Expiration>${timeOf(given)}</Expiration>
</Credentials><AssumedRoleUser><Arn>${role}/wombat</Arn><AssumedRoleId>A:wombat</AssumedRoleId>
</AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
}
