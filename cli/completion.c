/* erab completion: scripts for three shells, made from the table of verbs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool first_of_noun(const struct cli_verb *v)
{
    for (const struct cli_verb *o = cli_verbs; o != v; o++)
        if (strcmp(o->noun, v->noun) == 0)
            return false;
    return true;
}

static bool first_of_verb(const struct cli_verb *v)
{
    for (const struct cli_verb *o = cli_verbs; o != v; o++)
        if (strcmp(o->noun, v->noun) == 0 && v->verb && strcmp(o->verb, v->verb) == 0)
            return false;
    return v->verb || first_of_noun(v);
}

static void nouns(FILE *out)
{
    for (const struct cli_verb *v = cli_verbs; v->noun; v++)
        if (first_of_noun(v))
            fprintf(out, "%s ", v->noun);
}

static void verbs_of(FILE *out, const char *noun)
{
    for (const struct cli_verb *v = cli_verbs; v->noun; v++)
        if (strcmp(v->noun, noun) == 0 && v->verb && first_of_verb(v))
            fprintf(out, "%s ", v->verb);
}

/* The words that a verb takes itself. */
static const char *words_of(const struct cli_verb *v)
{
    return strcmp(v->noun, "completion") == 0 ? "bash zsh fish" : "";
}

/* bash and zsh: the arms of `case $noun` with what may follow, and of `case $option` with its values. */
static void arms(FILE *out)
{
    for (const struct cli_verb *v = cli_verbs; v->noun; v++) {
        if (!first_of_verb(v))
            continue;
        fprintf(out, "    %s%s%s) options='", v->noun, v->verb ? "." : "", v->verb ? v->verb : "");
        for (const struct cli_option *o = cli_options; o->name; o++)
            if (cli_option_of(v, o->name))
                fprintf(out, "%s ", o->name);
        fprintf(out, "' words='");
        if (strcmp(v->noun, "help") == 0)
            nouns(out);
        else
            fprintf(out, "%s", words_of(v));
        fprintf(out, "' ;;\n");
    }
}

static void finding(FILE *out)
{
    fprintf(out, "  while [ $i -lt $last ]; do\n"
                 "    word=$(_erab_word $i \"$@\"); i=$((i + 1))\n"
                 "    case $word in\n    ");
    const char *between = "";
    for (const struct cli_option *o = cli_options; o->name; o++)
        if (o->value) {
            fprintf(out, "%s%s", between, o->name);
            between = "|";
        }
    fprintf(out, ") option=$word; [ $i -lt $last ] && option=; i=$((i + 1)) ;;\n"
                 "    -*) ;;\n"
                 "    *) if [ -z \"$noun\" ]; then noun=$word; elif [ -z \"$verb\" ]; then verb=$word; fi ;;\n"
                 "    esac\n  done\n"
                 "  case $noun in\n");
    for (const struct cli_verb *v = cli_verbs; v->noun; v++)
        if (first_of_noun(v) && v->verb) {
            fprintf(out, "    %s) verbs='", v->noun);
            verbs_of(out, v->noun);
            fprintf(out, "' ;;\n");
        }
    fprintf(out, "  esac\n  [ -n \"$verbs\" ] || verb=\n  case $noun${verb:+.$verb} in\n");
    arms(out);
    fprintf(out, "  esac\n  case $option in\n");
    for (const struct cli_option *o = cli_options; o->name; o++)
        if (o->choices)
            fprintf(out, "    %s) choices='%s' ;;\n", o->name, o->choices);
    fprintf(out, "  esac\n");
}

/* _erab_find LAST WORD...: prints what may stand after these words, `FILES` for a file. Plain enough for bash and zsh. */
static void shared_part(FILE *out)
{
    fprintf(out, "_erab_word() { shift $(($1 + 1)); printf '%%s' \"$1\"; }\n"
                 "_erab_find() {\n"
                 "  local last=$# i=0 word noun= verb= verbs= option= options= words= choices=\n");
    finding(out);
    fprintf(out, "  if [ -n \"$choices\" ]; then printf '%%s' \"$choices\"\n"
                 "  elif [ -n \"$option\" ]; then printf FILES\n"
                 "  elif [ -z \"$noun\" ]; then printf '%%s' '");
    nouns(out);
    fprintf(out, "--version --help'\n"
                 "  elif [ -n \"$verbs\" ] && [ -z \"$verb\" ]; then printf '%%s' \"$verbs\"\n"
                 "  elif [ -n \"$words\" ]; then printf '%%s' \"$words $options\"\n"
                 "  else printf '%%s' \"$options FILES\"; fi\n"
                 "}\n");
}

static void bash(FILE *out)
{
    fprintf(out, "# bash completion of erab: source <(erab completion bash)\n");
    shared_part(out);
    fprintf(out, "_erab() {\n"
                 "  local cur=${COMP_WORDS[COMP_CWORD]} found\n"
                 "  found=$(_erab_find \"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\n"
                 "  COMPREPLY=()\n"
                 "  case $found in *FILES) case $cur in -*) ;; *) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); "
                 "return ;; esac; found=${found%%FILES} ;; esac\n"
                 "  mapfile -t COMPREPLY < <(compgen -W \"$found\" -- \"$cur\")\n"
                 "}\n"
                 "complete -o filenames -F _erab erab\n");
}

static void zsh(FILE *out)
{
    fprintf(out, "#compdef erab\n# zsh completion of erab: source <(erab completion zsh), after compinit\n");
    shared_part(out);
    fprintf(out, "_erab() {\n"
                 "  local found\n"
                 "  found=$(_erab_find \"${words[@]:1:$((CURRENT - 2))}\")\n"
                 "  case $found in *FILES) found=${found%%FILES}; _files ;; esac\n"
                 "  compadd -- ${=found}\n"
                 "}\n"
                 "compdef _erab erab\n");
}

/* Texts of ours hold no single quotes but in 'erab ...'. */
static void quoted(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text; text++)
        if (*text != '\'')
            putc(*text, out);
    putc('\'', out);
}

static void fish(FILE *out)
{
    fprintf(out, "# fish completion of erab: erab completion fish | source\n"
                 "complete -c erab -n __fish_use_subcommand -f\n");
    for (const struct cli_verb *v = cli_verbs; v->noun; v++) {
        if (first_of_noun(v)) {
            fprintf(out, "complete -c erab -n __fish_use_subcommand -a %s", v->noun);
            if (!v->verb) {
                fprintf(out, " -d ");
                quoted(out, v->help);
            }
            putc('\n', out);
        }
        if (v->verb && first_of_verb(v)) {
            fprintf(out, "complete -c erab -f -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from ",
                    v->noun);
            verbs_of(out, v->noun);
            fprintf(out, "' -a %s -d ", v->verb);
            quoted(out, v->help);
            putc('\n', out);
        }
        for (const struct cli_option *o = cli_options; o->name && first_of_verb(v); o++) {
            if (!cli_option_of(v, o->name))
                continue;
            fprintf(out, "complete -c erab -n '__fish_seen_subcommand_from %s%s%s' -l %s -d ", v->noun,
                    v->verb ? "; and __fish_seen_subcommand_from " : "", v->verb ? v->verb : "", o->name + 2);
            quoted(out, o->help);
            if (o->choices)
                fprintf(out, " -x -a '%s'", o->choices);
            fprintf(out, "%s\n", o->value && !o->choices ? " -r" : "");
        }
        if (strcmp(v->noun, "help") == 0) {
            fprintf(out, "complete -c erab -f -n '__fish_seen_subcommand_from help' -a '");
            nouns(out);
            fprintf(out, "'\n");
        } else if (words_of(v)[0]) {
            fprintf(out, "complete -c erab -f -n '__fish_seen_subcommand_from %s' -a '%s'\n", v->noun, words_of(v));
        }
    }
}

int cli_completion(const struct cli *cli)
{
    static const struct {
        const char *name;
        void (*write)(FILE *out);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        char *script = NULL;
        size_t size = 0;
        if (strcmp(cli->words[0], shells[i].name) != 0)
            continue;
        FILE *out = open_memstream(&script, &size);
        if (!out)
            return cli_refuse(cli, EXIT_REFUSED, "no memory");
        shells[i].write(out);
        fclose(out);
        if (cli->json)
            cli_print(json_pack("{s:b, s:s, s:s}", "ok", 1, "shell", shells[i].name, "script", script));
        else
            fputs(script, stdout);
        free(script);
        return EXIT_DONE;
    }
    return cli_refuse(cli, EXIT_USAGE, "completion knows bash, zsh and fish; right would be: erab completion bash");
}
