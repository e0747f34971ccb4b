/* System call numbers, for both sides. */
#pragma once

enum system_call_number {
    CALL_EXIT,
    CALL_WRITE,
    CALL_SLEEP,
    CALL_TASK_ID,
};
