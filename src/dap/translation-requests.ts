/** The request of the Translator view. */
import { viewTranslation } from '../inspect/translation-view';
import type { TranslationBody } from '../messages/translation';
import type { RequestArguments } from './arguments';
import type { InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';

export function translationRequests(context: InspectionContext): RequestHandlers {
    return { 'hyperscope/translation': args => translation(context, args) };
}

async function translation(context: InspectionContext, args: RequestArguments): Promise<TranslationBody> {
    const vcpu = context.vcpu(args);
    const address = await context.number(vcpu, args, 'address');
    const brief = args.flag('brief');
    return context.look(vcpu, source => viewTranslation(source, address ?? source.system.pc, brief));
}
