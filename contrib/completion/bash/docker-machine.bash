# Completion of docker-machine for bash. The program knows the candidates; this only asks it.

_docker_machine() {
    local program words=() rest=$COMP_LINE word current prefix='' out directive value i
    COMPREPLY=()
    program=$(type -P -- "${COMP_WORDS[0]/#\~/$HOME}") || return 0
    # bash has taken words apart at `=` and `:`; what no blank separates is one word again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $i -gt 0 && -n $rest && $rest != [[:space:]]* ]] || [[ $i -gt 0 && -z $rest && -n $word ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
            rest=${rest#"${rest%%[![:space:]]*}"}
        fi
        rest=${rest#"$word"}
    done
    current=${words[${#words[@]}-1]}
    out=$(DOCKER_MACHINE_WRAPPED=$DOCKER_MACHINE_WRAPPED "$program" complete -- "${words[@]:1}" 2>/dev/null) || return 0
    directive=${out##*:}
    # What stands before the last `=` or `:` is on the line already, as bash sees it.
    for i in '=' ':'; do
        if [[ $COMP_WORDBREAKS == *"$i"* && $current == *"$i"* ]]; then
            word=${current%"${current##*"$i"}"}
            [[ ${#word} -gt ${#prefix} ]] && prefix=$word
        fi
    done
    while IFS=$'\t' read -r value _; do
        [[ -n $value && $value != :* ]] && COMPREPLY+=("${value#"$prefix"}")
    done <<<"$out"
    if ((directive & 2)); then
        compopt -o nospace 2>/dev/null
    fi
    if ! ((directive & 4)); then
        i=-f
        ((directive & 16)) && i=-d
        compopt -o filenames 2>/dev/null
        while IFS= read -r value; do
            COMPREPLY+=("$value")
        done < <(compgen "$i" -- "${current#"$prefix"}")
    fi
    return 0
}

complete -F _docker_machine docker-machine docker-machine.exe
