/** Whether the name is that of the machine or of one of its processes. */
export function isOf(machine: string, name: string): boolean {
  return name === machine || name.startsWith(`${machine}/`);
}
