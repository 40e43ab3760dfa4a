// One page, built into `dist`, which the engine serves. In development the API comes from `API` (default: the mock).
import { defineConfig } from 'vitest/config';
import solid from 'vite-plugin-solid';

const api = process.env['API'] ?? 'http://127.0.0.1:8090';

export default defineConfig({
  base: '/',
  plugins: [solid({ ssr: false })],
  server: { proxy: { '/api': { target: api, ws: true } } },
  build: { target: 'es2022', sourcemap: false, chunkSizeWarningLimit: 1500 },
  test: { environment: 'node', include: ['test/**/*.test.ts'] },
});
