/** CPU milliseconds that this process has used by now, on all threads. */
export function cpuMsNow(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
