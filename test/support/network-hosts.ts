import { execFileSync } from 'node:child_process';

/** One host of its own network, tied to this machine by one link. */
export interface NetworkHost {
  /** Addresses of this machine's end of the link and of the host's. */
  readonly here: string;
  readonly there: string;
  /** The words behind which a program runs on that host. */
  readonly through: readonly string[];
  /** Cuts the link, or mends it. */
  setLink(state: 'up' | 'down'): void;
  remove(): void;
}

/** The third byte of the addresses of this process: the second is one that few networks have. */
const network = process.pid % 100;

/** Makes a host, as root: a network namespace with a link into it. */
export function makeHost(number: number): NetworkHost {
  const name = `wombatkv-${process.pid}-${number}`;
  const link = `wkv${network}${number}`;
  const prefix = `10.213.${network * 2 + number}`;
  const [here, there] = [`${prefix}.1`, `${prefix}.2`];
  ip('netns', 'add', name);
  ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('address', 'add', `${here}/24`, 'dev', link);
  ip('link', 'set', link, 'up');
  ip('-n', name, 'address', 'add', `${there}/24`, 'dev', 'eth0');
  ip('-n', name, 'link', 'set', 'eth0', 'up');
  ip('-n', name, 'link', 'set', 'lo', 'up');
  return {
    ...{ here, there, through: ['ip', 'netns', 'exec', name] },
    setLink: (state) => ip('link', 'set', link, state),
    // The link goes with it.
    remove: () => ip('netns', 'delete', name),
  };
}

function ip(...words: readonly string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'pipe'] });
}
