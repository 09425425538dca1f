# Completion of llorch for bash. In ~/.bashrc: eval "$(llorch dev completion bash)"
_llorch() {
    local offer
    COMPREPLY=()
    # The line as it is: COMP_WORDS has its words in pieces, and quotes as they were typed.
    while IFS= read -r offer; do
        case $offer in
            $'\tfile') compopt -o default ;;
            $'\tfolder') compopt -o dirnames ;;
            *) COMPREPLY+=("$offer") ;;
        esac
    done < <("${1/#\~\//$HOME/}" dev completion bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
}
complete -F _llorch llorch
