import { defineConfig } from 'vitest/config';

/** What takes minutes: many kills, long fuzzing, other Node versions, the packed package in bundlers. */
const SLOW = ['test/slow/**/*.test.ts'];

export default defineConfig({
  test: {
    globalSetup: ['test/support/build.ts'],
    setupFiles: ['test/support/properties.ts'],
    maxWorkers: '100%', // vitest leaves a core idle, which is half of two
    testTimeout: 120_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: 'main', include: ['test/**/*.test.ts'], exclude: SLOW } },
      { extends: true, test: { name: 'slow', include: SLOW } },
    ],
  },
});
