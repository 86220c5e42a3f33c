# Completion of docker-machine for fish. The program knows the candidates; this only asks it.

function __docker_machine_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found (DOCKER_MACHINE_WRAPPED="$DOCKER_MACHINE_WRAPPED" command $program complete -- $words "$current" 2>/dev/null)
    or return
    set -l directive (string sub -s 2 -- $found[-1])
    set -e found[-1]
    test (count $found) -gt 0
    and printf '%s\n' $found
    switch $directive
        case 0
            __fish_complete_path (string replace -r '^.*=' '' -- "$current")
        case 16
            __fish_complete_directories (string replace -r '^.*=' '' -- "$current") ''
    end
end

complete -c docker-machine -f -a '(__docker_machine_complete)'
