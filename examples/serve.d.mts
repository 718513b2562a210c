export declare function serve(
  folders: readonly string[],
  port?: number,
  headers?: Readonly<Record<string, string>>,
): Promise<{ readonly url: string; close(): Promise<void> }>;
