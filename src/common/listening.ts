/** Why a port could not be listened at, in words where the code alone would not say what to do. */
export function listeningProblem({ code, message }: { readonly code?: string; readonly message: string }): string {
    switch (code) {
        case 'EADDRINUSE':
            return `${code}: something else listens there, choose another port`;
        case 'EACCES':
            return `${code}: ports below 1024 may need privileges, choose another port`;
        default:
            return code ?? message;
    }
}
