export declare const ISOLATION: Readonly<Record<string, string>>;
export declare function serve(
  folders: readonly string[],
  port?: number,
  headers?: Readonly<Record<string, string>>,
): Promise<{ readonly url: string; close(): Promise<void> }>;
