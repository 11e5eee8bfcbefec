import { renderFamily } from '../daemon/metrics-registry.ts';

/** The numbers of this process that every Prometheus client has, under their usual names. */
export function renderProcessMetrics(wallMs: number): string {
  const { user, system } = process.cpuUsage();
  const started = wallMs / 1000 - process.uptime();
  return (
    family('process_cpu_seconds_total', 'counter', 'Time of processors.', (user + system) / 1e6) +
    family(
      'process_resident_memory_bytes',
      'gauge',
      'Memory that is resident.',
      process.memoryUsage.rss(),
    ) +
    family('process_start_time_seconds', 'gauge', 'Start in seconds since 1970.', started)
  );
}

function family(name: string, type: 'counter' | 'gauge', help: string, value: number): string {
  return renderFamily({ name, type, help }, [{ labels: {}, value }]);
}
