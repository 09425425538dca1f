#compdef llorch
# Completion of llorch for zsh. In ~/.zshrc, after compinit: eval "$(llorch dev completion zsh)"
_llorch() {
    local line tab=$'\t'
    local -a names offers texts
    for line in "${(@f)$("${(Q)words[1]/#\~\//$HOME/}" dev completion zsh -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            "${tab}file") _files ;;
            "${tab}folder") _files -/ ;;
            *"$tab") names+=("${line%$tab}") ;;
            *) offers+=("${line%%$tab*}"); texts+=("${(r:20:)line%%$tab*}  ${line#*$tab}") ;;
        esac
    done
    compadd -a names
    compadd -l -d texts -a offers
}
if [[ $funcstack[1] == _llorch ]]; then
    _llorch "$@"
else
    compdef _llorch llorch
fi
