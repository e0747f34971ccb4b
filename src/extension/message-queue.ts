/**
 * The adapter's messages on their way to VS Code: some come a little later, with all behind them, and a run that is over
 * soon is told as a stop alone.
 */

/** What is looked at of a message. */
export interface QueuedMessage {
    readonly type: string;
    readonly event?: string;
    readonly command?: string;
}

/** Requests whose guest may well have stopped again when their response comes: steps, and ways to breakpoints nearby. */
export const MOVES: ReadonlySet<string> = new Set([
    ...['continue', 'next', 'stepIn', 'stepOut', 'stepBack', 'reverseContinue'],
]);

export class MessageQueue<Message extends QueuedMessage> {
    /** Undefined while VS Code hears at once. */
    private held: Message[] | undefined;

    constructor(private readonly deliver: (message: Message) => void) {}

    /** VS Code has not heard yet that the guest has gone on: to its user it still is where it was. */
    get hidesMove(): boolean {
        return this.held?.some(isMove) === true;
    }

    /** @param ready if it is kept, this message may be delivered; what comes meanwhile waits behind it */
    pass(message: Message, ready?: Promise<void>): void {
        if (this.held !== undefined) {
            this.held.push(message);
        } else if (ready === undefined) {
            this.deliver(message);
        } else {
            const held = [message];
            this.held = held;
            void ready.then(() => {
                stopsFirst(held);
                // With those that come while VS Code hears of these.
                for (const one of held) this.deliver(one);
                this.held = undefined;
            });
        }
    }
}

/**
 * Puts the response to a move behind the stop that it has led to. VS Code takes the guest as running from the response on,
 * unless it knows of the stop by then: it would draw all its buttons for a guest that runs, and again for one that does not.
 */
function stopsFirst(messages: QueuedMessage[]): void {
    const move = messages.findIndex(isMove);
    const stop = messages.findIndex(({ type, event }, at) => at > move && type === 'event' && event === 'stopped');
    if (move >= 0 && stop >= 0) messages.splice(stop, 0, ...messages.splice(move, 1));
}

function isMove({ type, command = '' }: QueuedMessage): boolean {
    return type === 'response' && MOVES.has(command);
}
