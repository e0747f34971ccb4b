/** Answers that packets of several kinds have. */

export const OK = 'OK';

/** The protocol does not say what the numbers of errors mean: these are errno's. */
export const enum Failure {
    NoSuchProcess = 'E03',
    Fault = 'E0e',
    Invalid = 'E16',
    TooMany = 'E1c',
}
