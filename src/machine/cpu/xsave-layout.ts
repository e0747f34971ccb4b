/** The XSAVE area (SDM Vol. 1, 13.4): 512 legacy bytes, a 64-byte header, then the extended components. */

export const XSAVE_X87 = 1 << 0;
export const XSAVE_SSE = 1 << 1;

/** Components that XCR0 may enable. AVX will add bit 2. */
export const XSAVE_SUPPORTED = XSAVE_X87 | XSAVE_SSE;

export const LEGACY_AREA_SIZE = 512;
export const XSAVE_HEADER_SIZE = 64;

/** Bytes that XSAVE needs for the components in `xcr0`. */
export function xsaveAreaSize(_xcr0: number): number {
    return LEGACY_AREA_SIZE + XSAVE_HEADER_SIZE;
}
