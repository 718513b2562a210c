import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Names that a host defines. */
const readonly = (...names) => Object.fromEntries(names.map((name) => [name, 'readonly']));
const node = readonly('process', 'console', 'performance', 'Buffer', 'URL', 'WebAssembly');
const page = readonly(
  'document',
  'location',
  'performance',
  'addEventListener',
  'fetch',
  'getComputedStyle',
  'URLSearchParams',
);

export default tseslint.config(
  {
    ignores: [
      'dist',
      'coverage',
      '**/node_modules',
      '**/assembly', // AssemblyScript
      '**/*.generated.ts',
    ],
  },
  js.configs.recommended,
  tseslint.configs.recommended,
  { files: ['**/*.mjs'], languageOptions: { globals: node } },
  { files: ['examples/browser/*.js', 'test/packed-app/*.js'], languageOptions: { globals: page } },
);
