/** Whether exceptions follow each other without an instruction in between: handlers that fault themselves, for ever. */
import { FRUITLESS_FAULTS } from '../../machine/engine';

export class FruitlessFaults {
    /** Exceptions since an instruction was executed last, and how many the vCPU had executed then. */
    private count = 0;
    private retiredAtFault = -1;

    /** A slice begins: what has been before does not count. */
    begin(): void {
        this.retiredAtFault = -1;
    }

    /**
     * An exception is delivered.
     * @param retired instructions that the vCPU has executed
     * @returns whether it is time to have a look at the guest
     */
    note(retired: number): boolean {
        if (retired !== this.retiredAtFault) {
            this.retiredAtFault = retired;
            this.count = 0;
        }
        return ++this.count >= FRUITLESS_FAULTS;
    }
}
