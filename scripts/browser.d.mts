export declare const BROWSER_MODULES: Readonly<Record<'ternseed.js' | 'ternseed-artifact.js', string>>;
export declare function bundleForBrowsers(
  name: keyof typeof BROWSER_MODULES,
): Promise<readonly { readonly name: string; readonly text: string }[]>;
export declare const BACKPROP_REFUSAL: string;
export declare function refuseBackprop(): Promise<string>;
