/** A module for the kernel of the test guests, compiled without that kernel's headers. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { memorySource } from '../../src/symbols/byte-source';
import { ElfFile } from '../../src/symbols/elf-file';
import type { Program } from '../../src/symbols/program';
import { findMember, type RecordType } from '../../src/symbols/types';
import { run } from './compiled';
import { guestsDirectory } from './requirements';

const NAME_LENGTH = 56;

/** Some module of the kernel: what the kernel compares with itself is the same in all of them. */
function anyModule(): ElfFile {
    const folders = [path.join(guestsDirectory, 'modules-cloud')];
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
        for (const entry of readdirSync(folder, { withFileTypes: true })) {
            const full = path.join(folder, entry.name);
            if (entry.isDirectory()) folders.push(full);
            else if (entry.name.endsWith('.ko')) return new ElfFile(memorySource(full, readFileSync(full)));
        }
    }
    throw new Error('there are no modules');
}

/**
 * Compiles a source to a module.
 * @param source is named like the module; `init_module` and `cleanup_module` are its functions
 * @returns the file's path
 */
export function compileModule(vmlinux: Program, source: string, directory: string): string {
    const name = path.basename(source, '.c');
    const type = vmlinux.findType('module', 'struct', undefined) as RecordType;
    const offset = (member: string): number => findMember(type, member)!.offset;
    const stock = anyModule();
    const text = (section: string): Buffer => Buffer.from(stock.content(stock.section(section)!));
    const vermagic = /vermagic=([^\0]*)/.exec(text('.modinfo').toString('latin1'))![1];
    const versions = text('__versions');
    const at = versions.indexOf('module_layout\0') - 8;
    const version = `0x${versions.readBigUInt64LE(at).toString(16)}`;
    const glue = path.join(directory, `${name}.mod.c`);
    writeFileSync(
        glue,
        `
int init_module(void);
void cleanup_module(void);
struct {
    char before[${offset('name')}];
    char name[${NAME_LENGTH}];
    char between[${offset('init') - offset('name') - NAME_LENGTH}];
    int (*init)(void);
    char behind[${offset('exit') - offset('init') - 8}];
    void (*exit)(void);
    char rest[${type.size - offset('exit') - 8}];
} __attribute__((packed)) __this_module __attribute__((aligned(64), section(".gnu.linkonce.this_module"))) = {
    .name = "${name}", .init = init_module, .exit = cleanup_module,
};
static const char modinfo[] __attribute__((used, section(".modinfo"))) =
    "license=GPL\\0retpoline=Y\\0name=${name}\\0vermagic=${vermagic}";
static const struct { unsigned long crc; char name[56]; } versions[]
    __attribute__((used, section("__versions"))) = { { ${version}, "module_layout" } };
`,
    );
    const flags =
        '-c -g -O1 -ffreestanding -mcmodel=kernel -fno-pic -mno-red-zone -mgeneral-regs-only -fno-stack-protector ' +
        '-fcf-protection=none -fno-asynchronous-unwind-tables';
    const objects = [source, glue].map(file => {
        const object = path.join(directory, `${path.basename(file)}.o`);
        run(directory, 'gcc', ...flags.split(' '), file, '-o', object);
        return object;
    });
    const output = path.join(directory, `${name}.ko`);
    run(directory, 'ld', '-r', '--build-id', ...objects, '-o', output);
    if (!existsSync(output)) throw new Error(`${output} was not made`);
    return output;
}
