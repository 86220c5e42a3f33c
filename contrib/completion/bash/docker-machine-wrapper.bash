# `docker-machine use NAME` for bash and zsh: points docker in this shell to a machine. A program cannot set variables
# of the shell that calls it, so a function does. It has the program's own name: completion finds it by that, and no
# alias has to be expanded first. DOCKER_MACHINE_WRAPPED=false, set before, leaves it away.

: "${DOCKER_MACHINE_WRAPPED:=true}"

if [ "$DOCKER_MACHINE_WRAPPED" = true ]; then
    function docker-machine {
        if [ "${1-}" != use ]; then
            command docker-machine "$@"
            return
        fi
        shift
        case "${1-}" in
            '' | -h | --help)
                printf '%s\n' 'Usage: docker-machine use [OPTIONS] [NAME]' '' 'Point docker in this shell to a machine' '' \
                    'Options are those of: docker-machine env' 'To point it to no machine: docker-machine use --unset'
                return
                ;;
        esac
        local lines
        lines=$(command docker-machine env --shell bash "$@") || return
        eval "$lines"
        printf 'Active machine: %s\n' "${DOCKER_MACHINE_NAME-}"
    }
fi
