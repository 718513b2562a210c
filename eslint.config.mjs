import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const node = { process: 'readonly', console: 'readonly', performance: 'readonly', Buffer: 'readonly' };

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
);
