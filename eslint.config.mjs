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
      ...['**/assembly', 'src/ops/wasm.ts', 'src/ops/*/wasm.ts'], // AssemblyScript
      '**/*.generated.ts',
      'test/packed-app/use.ts', // type-checked against the packed declarations
    ],
  },
  js.configs.recommended,
  tseslint.configs.recommended,
  {
    languageOptions: { parserOptions: { project: 'tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/return-await': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['**/*.mjs', '**/*.mts', 'examples/**/*.js', '*.ts'],
    languageOptions: { parserOptions: { project: 'tsconfig.lint.json' } },
  },
  { files: ['test/packed-app/*.js'], extends: [tseslint.configs.disableTypeChecked] },
  { files: ['**/*.mjs'], languageOptions: { globals: node } },
  { files: ['examples/browser/*.js', 'test/packed-app/*.js'], languageOptions: { globals: page } },
);
