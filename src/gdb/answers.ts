/** Answers that packets of several kinds have. */

/** What a packet is answered: a payload, or a packet that is ready to be sent. */
export type Answer = string | { readonly packet: Uint8Array };

export const OK = 'OK';

/** The protocol does not say what the numbers of errors mean, but for one: these are errno's. */
export const enum Failure {
    /** Of `qXfer`: the one number that the protocol gives a meaning. */
    NoSuchDocument = 'E00',
    NoSuchProcess = 'E03',
    Fault = 'E0e',
    Invalid = 'E16',
    TooMany = 'E1c',
}
