import { defineConfig } from 'astro/config';

// Telemetry cannot be switched off here; the scripts in package.json do it (ASTRO_TELEMETRY_DISABLED=1).
export default defineConfig({
  devToolbar: { enabled: false },
  server: { host: '127.0.0.1' },
});
