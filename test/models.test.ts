import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import manifest from '../models/manifest.json' with { type: 'json' };

const root = fileURLToPath(new URL('../models/', import.meta.url));

test('every model folder is in the manifest', () => {
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).sort()).toEqual(manifest.models.map(({ name }) => name).sort());
});

describe.each(manifest.models)('$name', ({ name, files, source, licence, sites }) => {
  test('says where it comes from, and has sites to find', () => {
    expect(source).not.toBe('');
    expect(licence).not.toBe('');
    expect(sites.length).toBeGreaterThan(0);
    expect(new Set(sites.map((site) => site.output)).size).toBe(sites.length);
  });

  test('holds the files of the manifest and no other', () => {
    const found = readdirSync(`${root}${name}`, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(`${root}${name}`, `${entry.parentPath}/${entry.name}`).split(sep).join('/'));
    expect(found.sort()).toEqual(files.map((file) => file.path).sort());
  });

  test.each(files)('$path has its size and sha256', ({ path, bytes, sha256 }) => {
    const content = readFileSync(`${root}${name}/${path}`);
    expect(content.byteLength).toBe(bytes);
    expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
  });
});
