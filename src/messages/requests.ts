/** Requests of our own by name, with their arguments and bodies: what a typed client goes by. */
import type { VcpuArguments } from './common';
import type { DescriptorTablesArguments, DescriptorTablesBody } from './descriptor-tables';
import type { DevicesArguments, DevicesBody } from './devices';
import type { EngineBody, SwitchEngineArguments, SwitchEngineBody } from './engine';
import type { InterruptsArguments, InterruptsBody } from './interrupts';
import type {
    LinuxLogArguments,
    LinuxLogBody,
    LinuxPageArguments,
    LinuxPageBody,
    LinuxTableArguments,
    LinuxTableBody,
    LinuxTaskArguments,
    LinuxTaskBody,
    LinuxTasksBody,
} from './linux';
import type {
    LoadMemoryArguments,
    LoadMemoryBody,
    MemoryArguments,
    MemoryBody,
    PageMappingsArguments,
    PageMappingsBody,
    SaveMemoryArguments,
    SaveMemoryBody,
    SearchMemoryArguments,
    SearchMemoryBody,
} from './memory';
import type {
    AddressSpacesBody,
    PageTableEntriesArguments,
    PageTableEntriesBody,
    PageTablesArguments,
    PageTablesBody,
    PageWalkArguments,
    PageWalkBody,
} from './page-tables';
import type { RegistersArguments, RegistersBody, SetRegisterArguments, SetRegisterBody } from './registers';
import type { TranslationArguments, TranslationBody } from './translation';

export interface InspectionRequests {
    'hyperscope/engine': [Record<string, never>, EngineBody];
    'hyperscope/switchEngine': [SwitchEngineArguments, SwitchEngineBody];
    'hyperscope/registers': [RegistersArguments, RegistersBody];
    'hyperscope/setRegister': [SetRegisterArguments, SetRegisterBody];
    'hyperscope/memory': [MemoryArguments, MemoryBody];
    'hyperscope/searchMemory': [SearchMemoryArguments, SearchMemoryBody];
    'hyperscope/saveMemory': [SaveMemoryArguments, SaveMemoryBody];
    'hyperscope/loadMemory': [LoadMemoryArguments, LoadMemoryBody];
    'hyperscope/pageMappings': [PageMappingsArguments, PageMappingsBody];
    'hyperscope/addressSpaces': [VcpuArguments, AddressSpacesBody];
    'hyperscope/pageTables': [PageTablesArguments, PageTablesBody];
    'hyperscope/pageTableEntries': [PageTableEntriesArguments, PageTableEntriesBody];
    'hyperscope/pageWalk': [PageWalkArguments, PageWalkBody];
    'hyperscope/descriptorTables': [DescriptorTablesArguments, DescriptorTablesBody];
    'hyperscope/interrupts': [InterruptsArguments, InterruptsBody];
    'hyperscope/devices': [DevicesArguments, DevicesBody];
    'hyperscope/linuxTasks': [Record<string, never>, LinuxTasksBody];
    'hyperscope/linuxLog': [LinuxLogArguments, LinuxLogBody];
    'hyperscope/linuxTable': [LinuxTableArguments, LinuxTableBody];
    'hyperscope/linuxPage': [LinuxPageArguments, LinuxPageBody];
    'hyperscope/linuxTask': [LinuxTaskArguments, LinuxTaskBody];
    'hyperscope/translation': [TranslationArguments, TranslationBody];
}
