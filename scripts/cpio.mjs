/**
 * Writer of `newc` cpio archives, the format of Linux initramfs images
 * (kernel documentation: "initramfs buffer format").
 *
 * The same entries give the same bytes: inode numbers count up, times and owners are zero.
 */

const MAGIC = '070701';
const TRAILER = 'TRAILER!!!';

const S_IFCHR = 0o020000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;

const hex8 = value => value.toString(16).padStart(8, '0');

/** Headers with names, and contents, each end on a multiple of four bytes. */
const padded = bytes => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

function record(name, { inode = 0, mode = 0, links = 1, deviceMajor = 0, deviceMinor = 0, content = Buffer.alloc(0) }) {
    const nameBytes = Buffer.from(`${name}\0`);
    const fields = [
        inode,
        mode,
        0, // user
        0, // group
        links,
        0, // modification time
        content.length,
        0, // major and
        0, // minor number of the device that holds the file
        deviceMajor,
        deviceMinor,
        nameBytes.length,
        0, // checksum, unused in this variant
    ];
    const header = Buffer.from(MAGIC + fields.map(hex8).join(''));
    return Buffer.concat([padded(Buffer.concat([header, nameBytes])), padded(content)]);
}

export class CpioArchive {
    #records = [];

    #add(name, attributes) {
        this.#records.push(record(name, { inode: this.#records.length + 1, ...attributes }));
        return this;
    }

    directory(name, permissions = 0o755) {
        return this.#add(name, { mode: S_IFDIR | permissions, links: 2 });
    }

    file(name, content, permissions = 0o644) {
        return this.#add(name, { mode: S_IFREG | permissions, content: Buffer.from(content) });
    }

    symlink(name, target) {
        return this.#add(name, { mode: S_IFLNK | 0o777, content: Buffer.from(target) });
    }

    characterDevice(name, major, minor, permissions = 0o600) {
        return this.#add(name, { mode: S_IFCHR | permissions, deviceMajor: major, deviceMinor: minor });
    }

    /** The archive's bytes, uncompressed. */
    finish() {
        return Buffer.concat([...this.#records, record(TRAILER, {})]);
    }
}
