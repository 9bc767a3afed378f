/* Runs a fuzz target over saved files, so that the corpus is an ordinary test in every build that is not
 * libFuzzer's. usage: x_fuzz FILE-OR-FOLDER... ; a folder that does not exist counts as empty. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;

    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        return 1;
    }
    size_t len = (size_t)st.st_size;
    uint8_t *data = malloc(len > 0 ? len : 1); /* exactly as long as the input: ASan sees one byte too far */
    if (data == NULL || fread(data, 1, len, f) != len) {
        perror(path);
        return 1;
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    return 0;
}

static int run_folder(const char *path, int *ran)
{
    DIR *dir = opendir(path);
    int failed = 0;

    if (dir == NULL)
        return 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char file[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        failed |= run_file(file);
        ++*ran;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    struct stat st;
    int failed = 0, ran = 0;

    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            failed |= run_folder(argv[i], &ran);
        else if (stat(argv[i], &st) == 0)
            failed |= run_file(argv[i]), ran++;
    }
    printf("%d inputs\n", ran);
    return failed;
}
