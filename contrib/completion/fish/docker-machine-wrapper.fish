# `docker-machine use NAME` and __docker_machine_ps1 for fish; see the files of the same name for bash.

function __docker_machine_ps1 --description 'The machine that docker talks to'
    set -l format ' [%s]'
    set -q argv[1]
    and set format $argv[1]
    test -n "$DOCKER_MACHINE_NAME"
    or return 0
    set -l shown $DOCKER_MACHINE_NAME
    if test "$DOCKER_MACHINE_PS1_SHOWSTATUS" = true
        switch (command docker-machine status $DOCKER_MACHINE_NAME 2>/dev/null; or echo)
            case Running
                set shown "$shown R"
            case Stopping
                set shown "$shown R->S"
            case Starting
                set shown "$shown S->R"
            case Error Timeout
                set shown "$shown E"
            case '*'
                set shown "$shown S"
        end
    end
    printf $format $shown
end

set -q DOCKER_MACHINE_WRAPPED
or set -g DOCKER_MACHINE_WRAPPED true
if test "$DOCKER_MACHINE_WRAPPED" = true
    function docker-machine --wraps docker-machine --description 'Make and control Docker hosts'
        if test "$argv[1]" != use
            command docker-machine $argv
            return
        end
        set -e argv[1]
        if contains -- "$argv[1]" '' -h --help
            printf '%s\n' 'Usage: docker-machine use [OPTIONS] [NAME]' '' 'Point docker in this shell to a machine' '' \
                'Options are those of: docker-machine env' 'To point it to no machine: docker-machine use --unset'
            return
        end
        set -l lines (command docker-machine env --shell fish $argv)
        or return
        printf '%s\n' $lines | source
        printf 'Active machine: %s\n' "$DOCKER_MACHINE_NAME"
    end
end
