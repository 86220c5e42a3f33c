# The machine that docker talks to, for the prompt of bash and zsh:
#   PS1='[\u@\h \W$(__docker_machine_ps1)]\$ '             bash
#   setopt prompt_subst; PS1='%~$(__docker_machine_ps1)%# '  zsh
# An argument is a format for printf; without, it is " [%s]". With DOCKER_MACHINE_PS1_SHOWSTATUS=true a letter
# says how the machine is: R running, S stopped, R->S stopping, S->R starting, E error. That asks the machine.

__docker_machine_ps1() {
    # shellcheck disable=SC2034 # a format, and read as one
    local format="${1:- [%s]}" shown="${DOCKER_MACHINE_NAME-}"
    [ -n "$shown" ] || return 0
    if [ "${DOCKER_MACHINE_PS1_SHOWSTATUS-}" = true ]; then
        case "$(command docker-machine status "$shown" 2>/dev/null)" in
            Running) shown="$shown R" ;;
            Stopping) shown="$shown R->S" ;;
            Starting) shown="$shown S->R" ;;
            Error | Timeout) shown="$shown E" ;;
            *) shown="$shown S" ;;
        esac
    fi
    # shellcheck disable=SC2059 # the format is the user's
    printf "$format" "$shown"
}
