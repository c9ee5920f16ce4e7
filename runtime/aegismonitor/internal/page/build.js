// Builds the page to dist, or with the argument "test" its unit tests to .build. The same
// sources give the same bytes: the versions are pinned, and nothing has a time or a path in it.
import { build } from 'esbuild';
import { copyFile, mkdir, readdir, rm } from 'node:fs/promises';

const common = {
  bundle: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
};

if (process.argv[2] === 'test') {
  await rm('.build', { recursive: true, force: true });
  const tests = (await readdir('test')).map((name) => 'test/' + name);
  await build({ ...common, entryPoints: tests, outdir: '.build', platform: 'node' });
} else {
  await rm('dist', { recursive: true, force: true });
  await mkdir('dist');
  await build({
    ...common,
    entryPoints: { app: 'src/main.tsx' },
    outdir: 'dist',
    minify: true,
    legalComments: 'none',
    // The licences of what is bundled ask for their notice in each copy.
    banner: { js: '/* Has Preact (c) Jason Miller and uPlot (c) Leon Sorokin, both under the MIT License. */' },
  });
  for (const name of ['index.html', 'icon.svg']) {
    await copyFile('src/' + name, 'dist/' + name);
  }
}
