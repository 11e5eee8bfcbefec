import { createRequire } from 'node:module';

/** One family of metrics as a parser of Prometheus reads it. */
export interface PrometheusFamily {
  readonly name: string;
  readonly type: string;
  readonly metrics: readonly {
    readonly value?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
  }[];
}

type Parse = (text: string) => PrometheusFamily[];

/** Reads the text format of Prometheus with a parser that is not ours. The package has no types. */
export function parsePrometheus(text: string): readonly PrometheusFamily[] {
  const loaded = createRequire(import.meta.url)('parse-prometheus-text-format') as
    Parse | { readonly default: Parse };
  const parse = typeof loaded === 'function' ? loaded : loaded.default;
  return parse(text);
}
