/** Requests of the Registers view. */
import { findLaneType, parseRegisterNumber } from '../inspect/register-input';
import {
    collectValues,
    type RegistersPresentation,
    RegistersPresenter,
    type RegisterValues,
} from '../inspect/registers-view';
import type { LaneView, RegistersBody, SetRegisterBody } from '../messages/registers';
import type { RequestArguments } from './arguments';
import { numberOf } from './expression-requests';
import { choice, type InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';

const LANES: readonly LaneView[] = ['u8', 'u16', 'u32', 'u64', 'i8', 'i16', 'i32', 'i64', 'f32', 'f64'];

export class RegisterRequests {
    readonly handlers: RequestHandlers = {
        'hyperscope/registers': args => this.registers(args),
        'hyperscope/setRegister': args => this.setRegister(args),
    };

    /** By vCPU, of those that were asked about: values at the stop before, and at this one. */
    private before = new Map<number, Promise<RegisterValues>>();
    private now = new Map<number, Promise<RegisterValues>>();

    constructor(private readonly context: InspectionContext) {}

    /** The guest has stopped: what is shown from now on is compared with the stop before. */
    stopped(): void {
        // A vCPU that nobody looked at this time keeps what it was last seen with.
        this.before = new Map([...this.before, ...this.now]);
        this.now = new Map();
        for (const vcpu of this.before.keys()) {
            this.remember(vcpu);
        }
    }

    /** There is another guest. */
    forget(): void {
        this.before = new Map();
        this.now = new Map();
    }

    /** Takes down the values of this stop, before anybody edits them. */
    private remember(vcpu: number): void {
        if (!this.now.has(vcpu)) {
            const values = this.context.target.registers(vcpu).then(collectValues);
            // Whoever waits for them hears of a failure.
            values.catch(() => undefined);
            this.now.set(vcpu, values);
        }
    }

    private presentation(args: RequestArguments): RegistersPresentation {
        return {
            base: choice(args, 'base', ['hex', 'decimal', 'binary'] as const) ?? this.context.session.numberBase,
            lanes: findLaneType(choice(args, 'lanes', LANES) ?? 'u32'),
        };
    }

    private async presenter(args: RequestArguments, vcpu: number): Promise<RegistersPresenter> {
        const before = await this.before.get(vcpu)?.catch(() => undefined);
        const { target } = this.context;
        const symbol = target.inspect === undefined ? () => undefined : await this.context.look(vcpu, symbolsOf);
        return new RegistersPresenter(this.presentation(args), before, symbol);
    }

    private async registers(args: RequestArguments): Promise<RegistersBody> {
        const vcpu = this.context.vcpu(args);
        const { target } = this.context;
        const stopped = target.state !== 'running';
        const presenter = await this.presenter(args, vcpu);
        const groups = await target.registers(vcpu);
        if (stopped) {
            this.remember(vcpu);
        }
        return { vcpu, stopped, groups: presenter.groups(groups) };
    }

    private async setRegister(args: RequestArguments): Promise<SetRegisterBody> {
        const vcpu = this.context.vcpu(args);
        const { target } = this.context;
        const name = args.string('name');
        const text = args.string('value');
        const value = parseRegisterNumber(name, text) ?? (await numberOf(target, vcpu, text));
        const presenter = await this.presenter(args, vcpu);
        if (target.state !== 'running') {
            this.remember(vcpu);
        }
        const register = await target.writeRegister(vcpu, name, value);
        this.context.session.guestChanged();
        return { register: presenter.item(register) };
    }
}

function symbolsOf(source: { symbol(linear: bigint): string | undefined }): (linear: bigint) => string | undefined {
    return linear => source.symbol(linear);
}
