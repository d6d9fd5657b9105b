/* What the bytes of a module's file say, read without mapping or running anything of it. */
#include <link.h>
#include <string.h>

#include "module/module.h"

#define HEADERS_MAX 64u
#define ENTRIES_MAX 65536u
#define NOTE_NAME   "ERAB"
#define NOTE_ABI    1u

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#elif defined(__arm__)
#define NATIVE_MACHINE EM_ARM
#elif defined(__riscv)
#define NATIVE_MACHINE EM_RISCV
#else
#define NATIVE_MACHINE EM_NONE /* the loader itself refuses a foreign one */
#endif

static struct erabi_slice part(struct erabi_slice file, uint64_t at, uint64_t size)
{
    struct erabi_reader r = erabi_reader(file.data, file.size);
    erabi_read_slice(&r, at);
    return erabi_read_slice(&r, size);
}

static bool take(struct erabi_slice file, uint64_t at, void *to, size_t size)
{
    struct erabi_reader r = erabi_reader(file.data, file.size);
    erabi_read_slice(&r, at);
    erabi_read_bytes(&r, to, size);
    return !r.bad;
}

static const char *header_fault(struct erabi_slice file, ElfW(Ehdr) * h)
{
    if (!take(file, 0, h, sizeof *h) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return "is no ELF file";
    if (h->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        h->e_ident[EI_DATA] != NATIVE_DATA || (NATIVE_MACHINE != EM_NONE && h->e_machine != NATIVE_MACHINE))
        return "was built for another machine";
    if (h->e_type != ET_DYN)
        return "is no shared object; link it with -shared";
    if (h->e_phentsize != sizeof(ElfW(Phdr)) || !h->e_phnum || h->e_phnum > HEADERS_MAX)
        return "has no usable program headers";
    return NULL;
}

static size_t padded(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

/* How many ABI notes the segment holds; the last one's numbers. */
static unsigned notes(struct erabi_slice segment, size_t align, struct erabi_module_facts *out)
{
    unsigned found = 0;
    struct erabi_reader r = erabi_reader(segment.data, segment.size);
    while (r.left >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) n;
        uint16_t abi[2];
        erabi_read_bytes(&r, &n, sizeof n);
        struct erabi_slice name = erabi_read_slice(&r, n.n_namesz);
        size_t used = segment.size - r.left;
        erabi_read_slice(&r, padded(used, align) - used);
        struct erabi_slice value = erabi_read_slice(&r, n.n_descsz);
        used = segment.size - r.left;
        if (r.bad)
            break;
        if (n.n_type == NOTE_ABI && erabi_slice_equal(name, erabi_slice(NOTE_NAME, sizeof NOTE_NAME)) &&
            value.size == sizeof abi) {
            erabi_copy_bytes(abi, value.data, sizeof abi);
            out->abi_major = abi[0];
            out->abi_minor = abi[1];
            found++;
        }
        size_t gap = padded(used, align) - used;
        erabi_read_slice(&r, gap < r.left ? gap : r.left);
    }
    return found;
}

static const char *dynamic_fault(struct erabi_slice segment)
{
    struct erabi_reader r = erabi_reader(segment.data, segment.size);
    while (r.left >= sizeof(ElfW(Dyn))) {
        ElfW(Dyn) d;
        erabi_read_bytes(&r, &d, sizeof d);
        if (d.d_tag == DT_NULL)
            break;
        if (d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH)
            return "has a run path, so that unsigned code could be mapped with it; link it without -rpath "
                   "(meson removes it when it installs)";
        if (d.d_tag == DT_TEXTREL || (d.d_tag == DT_FLAGS && (d.d_un.d_val & DF_TEXTREL)))
            return "changes its own code when it is loaded; compile it with -fPIC";
    }
    return NULL;
}

static void look_at_symbol(struct erabi_slice names, const ElfW(Sym) * s, struct erabi_module_facts *out)
{
    unsigned bind = s->st_info >> 4, visibility = s->st_other & 3u;
    struct erabi_slice rest = part(names, s->st_name, names.size - (s->st_name < names.size ? s->st_name : names.size));
    if (s->st_shndx == SHN_UNDEF || s->st_shndx == SHN_ABS || (bind != STB_GLOBAL && bind != STB_WEAK) ||
        (visibility != STV_DEFAULT && visibility != STV_PROTECTED) || !rest.size ||
        !memchr(rest.data, 0, rest.size))
        return;
    const char *name = (const char *)rest.data;
    if (strcmp(name, "erab_module") == 0)
        out->exports_entry = true;
    else if (!out->other_export[0] && strlen(name) < sizeof out->other_export)
        erabi_copy_text(out->other_export, sizeof out->other_export, name);
}

static void look_at_symbols(struct erabi_slice file, const ElfW(Ehdr) * h, struct erabi_module_facts *out)
{
    ElfW(Shdr) table, names;
    for (unsigned i = 0; i < h->e_shnum && h->e_shentsize == sizeof table; i++) {
        if (!take(file, h->e_shoff + (uint64_t)i * sizeof table, &table, sizeof table) ||
            table.sh_type != SHT_DYNSYM || table.sh_link >= h->e_shnum ||
            !take(file, h->e_shoff + (uint64_t)table.sh_link * sizeof names, &names, sizeof names))
            continue;
        struct erabi_slice symbols = part(file, table.sh_offset, table.sh_size);
        struct erabi_slice texts = part(file, names.sh_offset, names.sh_size);
        struct erabi_reader r = erabi_reader(symbols.data, symbols.size);
        out->has_symbols = texts.size > 0;
        for (unsigned k = 0; k < ENTRIES_MAX && r.left >= sizeof(ElfW(Sym)); k++) {
            ElfW(Sym) s;
            erabi_read_bytes(&r, &s, sizeof s);
            look_at_symbol(texts, &s, out);
        }
    }
}

int erabi_module_read(struct erabi_slice file, struct erabi_module_facts *out, struct erab_error *error)
{
    ElfW(Ehdr) h;
    unsigned n_notes = 0;
    *out = (struct erabi_module_facts){0};
    const char *why = header_fault(file, &h);
    for (unsigned i = 0; !why && i < h.e_phnum; i++) {
        ElfW(Phdr) p;
        if (!take(file, h.e_phoff + (uint64_t)i * sizeof p, &p, sizeof p))
            why = "ends within its program headers";
        else if (p.p_type == PT_GNU_STACK && (p.p_flags & PF_X))
            why = "wants an executable stack; link it with -z noexecstack";
        else if (p.p_type == PT_LOAD && (p.p_flags & (PF_X | PF_W)) == (PF_X | PF_W))
            why = "has code that is writable";
        else if (p.p_type == PT_NOTE)
            n_notes += notes(part(file, p.p_offset, p.p_filesz), p.p_align == 8 ? 8 : 4, out);
        else if (p.p_type == PT_DYNAMIC)
            why = dynamic_fault(part(file, p.p_offset, p.p_filesz));
    }
    if (why)
        return erabi_error_set(error, ERAB_REASON_MODULE_FILE, "%s", why);
    if (n_notes != 1)
        return erabi_error_set(error, ERAB_REASON_MODULE_ABI,
                               n_notes ? "has more than one ABI note; use ERAB_MODULE once"
                                       : "has no ABI note; end its source with ERAB_MODULE of <erab/module.h>");
    if (out->abi_major != ERAB_ABI_MAJOR || out->abi_minor > ERAB_ABI_MINOR)
        return erabi_error_set(error, ERAB_REASON_MODULE_ABI, "was built for ABI %u.%u, this host has %d.%d",
                               out->abi_major, out->abi_minor, ERAB_ABI_MAJOR, ERAB_ABI_MINOR);
    look_at_symbols(file, &h, out);
    return 0;
}
