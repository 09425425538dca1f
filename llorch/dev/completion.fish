# Completion of llorch for fish, in ~/.config/fish/completions/llorch.fish, or: llorch dev completion fish | source
function __llorch_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    # The command is as it was typed, and fish complains in the line of one that it cannot find.
    set -l llorch (string replace -r '^~(?=/)' -- $HOME $words[1])
    command -q $llorch; or return
    for offer in ($llorch dev completion fish -- $words[2..] "$word" 2>/dev/null)
        switch $offer
            case \tfile
                __fish_complete_path $word
            case \tfolder
                __fish_complete_directories $word
            case '*'
                echo $offer
        end
    end
end
complete -c llorch -f -a '(__llorch_complete)'
