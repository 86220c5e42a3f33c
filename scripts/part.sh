# For scripts to read with `.`: says what begins, and writes into the file `$MACHINE_LEDGER`, where there is one, how many
# seconds it took and how it ended.
#   part NAME COMMAND [WORD...]
part() {
    part_name=$1
    shift
    echo "== $part_name"
    part_begun=$(date +%s)
    part_ended=0
    "$@" || part_ended=$?
    if [ -n "${MACHINE_LEDGER-}" ]; then
        [ "$part_ended" -eq 0 ] && part_how= || part_how=failed
        echo "$(($(date +%s) - part_begun)) $part_name $part_how" >>"$MACHINE_LEDGER"
    fi
    return "$part_ended"
}
